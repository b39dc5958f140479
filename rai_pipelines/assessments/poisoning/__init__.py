"""What wrong or hostile training rows do to the model: flipped labels, single rows, whole sources."""
