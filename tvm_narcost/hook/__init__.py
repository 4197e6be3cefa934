"""Everything that touches TVM's compilation."""
