"""The wire, without I/O: headers, bodies, replies, server-sent events and error classification."""
