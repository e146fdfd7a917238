//go:build !race

package c2s_test

// free is how often the hot path may allocate.
const free = 0
