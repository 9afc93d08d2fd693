"""What Python tells of users' values and functions, asked so that none of their code runs."""
