"""From nothing to two stacks that `pulumi up` takes: what the operator answers, what the platform says, the plan, and each step of it."""
