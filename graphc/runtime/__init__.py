"""From a graph to the machine: schedule, memory, plan, kernels, execution."""
