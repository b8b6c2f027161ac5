"""What answers cost: price cards, and usage times a card."""
