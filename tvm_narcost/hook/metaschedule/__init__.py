"""TVM's MetaSchedule: its candidates, how they are measured, and the cost model that ranks them."""
