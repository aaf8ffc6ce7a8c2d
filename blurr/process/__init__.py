"""What belongs to the process of the operating system: signals, threads, the terminal."""
