"""Who asks, and what they may do: tokens, ServiceAccounts and role-based access control, as in Kubernetes."""
