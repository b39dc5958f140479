"""Where it is counted: Ibis expressions that reduce big tables to counts inside the engine that holds them.

No metric is computed here and no threshold is known here."""
