"""Options: what each may be, the tables of them, and what other libraries call them."""
