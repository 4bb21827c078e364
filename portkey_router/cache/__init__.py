"""The semantic cache: what tells two questions apart, what may be stored, and when two answers may be shared."""
