"""One request from plan to answer, without I/O: the steps to take, and what becomes of their outcomes."""
