"""What decides numbers besides the data: the code of functions, the versions of packages."""
