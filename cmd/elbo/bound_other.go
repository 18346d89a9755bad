//go:build !linux

package main

// boundTo are the CPUs that this process may run on: not known here.
func boundTo() []int { return nil }
