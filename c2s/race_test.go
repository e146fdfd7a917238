//go:build race

package c2s_test

// free is how often the hot path may allocate: under the race detector pools
// forget at random what they were given.
const free = 2
