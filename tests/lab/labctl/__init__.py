"""Starting, stopping and steering the lab; standard library only."""
