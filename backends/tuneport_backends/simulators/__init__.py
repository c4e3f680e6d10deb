"""Stateful stand-ins for each provider, on a real socket, to build and test without keys and without a bill."""
