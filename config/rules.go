package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// AtLeast is the rule that a value is not under lo.
func AtLeast[T cmp.Ordered](lo T) Rule[T] {
	return Rule[T]{"at least " + brief(lo), func(v T) bool { return v >= lo }}
}

// AtMost is the rule that a value is not over hi.
func AtMost[T cmp.Ordered](hi T) Rule[T] {
	return Rule[T]{"at most " + brief(hi), func(v T) bool { return v <= hi }}
}

// Between is the rule that a value is neither under lo nor over hi.
func Between[T cmp.Ordered](lo, hi T) Rule[T] {
	return Rule[T]{fmt.Sprintf("between %s and %s", brief(lo), brief(hi)), func(v T) bool { return v >= lo && v <= hi }}
}

// OneOf is the rule that a value is one of those given.
func OneOf[T comparable](values ...T) Rule[T] {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = brief(v)
	}
	return Rule[T]{"one of " + strings.Join(names, ", "), func(v T) bool { return slices.Contains(values, v) }}
}

// NotEmpty is the rule that a text or a list has something in it.
func NotEmpty[T ~string]() Rule[T] {
	return Rule[T]{"something, not empty", func(v T) bool { return v != "" }}
}

// Some is the rule that a list is not empty.
func Some[E any]() Rule[[]E] {
	return Rule[[]E]{"a list with at least one item", func(v []E) bool { return len(v) > 0 }}
}

// That makes a rule of a sentence that completes "must be …" and a function.
func That[T any](says string, holds func(T) bool) Rule[T] { return Rule[T]{says, holds} }
