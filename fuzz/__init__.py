"""Bad input by the thousand: `make fuzz` (docs/untrusted-input.md)."""
