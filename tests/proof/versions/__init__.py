"""The suite and a short chaos on the oldest and the newest versions of what hammerflow needs."""
