"""How each kind of control is judged on its evidence: one module per area, one registry that names them all."""
