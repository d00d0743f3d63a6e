"""The kinds of things a page is made of, a file for each; `labkit.instructions.parse.BLOCKS` is their table."""
