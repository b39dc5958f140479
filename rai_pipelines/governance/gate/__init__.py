"""Whether a model version may be used: what an approval is bound to, the state of every version, and what the registry is told."""
