"""What registries call in to say: who really called, and what they named. Nothing here is believed; it only says where to look."""
