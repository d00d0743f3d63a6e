"""LTI 1.3: sign-in, launch, and what stands around them."""
