"""narcost: how long a network will take on a device, before it runs there."""
