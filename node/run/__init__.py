"""One screening from claim to outbox, the workers that run screenings, and the ticks of the schedule."""
