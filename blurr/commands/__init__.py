"""What commands need besides their work: the help of `blurr run`, completion by a shell."""
