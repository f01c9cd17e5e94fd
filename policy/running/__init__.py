"""What runs a trained policy: session, tracker, control loop, schedule, safety monitor. No torch."""
