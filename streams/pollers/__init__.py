"""How each vendor is polled: what to ask, page by page, and what of the answers is a record."""
