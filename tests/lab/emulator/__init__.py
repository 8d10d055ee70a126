"""An AWS emulator for tests: moto with the behaviour of AWS that imgctl depends on put back."""
