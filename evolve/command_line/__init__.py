"""Options in, and the value of a command out as JSON or drawn. A command is imported when called."""
