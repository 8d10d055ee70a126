"""A Kubernetes API server for the lab: answers as recorded ones do, holds state, and moves workloads as controllers do."""
