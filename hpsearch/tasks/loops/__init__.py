"""Tasks that train themselves: the user's own function, trainer or command, each run in a process of its own."""
