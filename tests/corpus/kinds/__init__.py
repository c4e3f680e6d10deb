"""One module a family of defects; importing it registers them."""
