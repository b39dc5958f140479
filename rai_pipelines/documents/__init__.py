"""What is told: model cards and the charts in them. Every figure comes from evidence; nothing is measured here."""
