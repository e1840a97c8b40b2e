"""What the plain reference cannot do by itself in one array library."""
