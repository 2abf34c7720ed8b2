"""Who does it: messages, workers, devices, pools, the scheduler and the coordinator."""
