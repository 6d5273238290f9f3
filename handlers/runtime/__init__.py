"""The generation backend: a host in the daemon, a child process that owns the device, and the protocol between them."""
