package redis_test

import (
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

// What our bounds, gate and classification cost beside go-redis alone.
func BenchmarkGet(b *testing.B) {
	s := redistest.Start(b)
	c, err := redis.Open(b.Context(), options(s.URL()), silent)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	plain := goredis.NewClient(&goredis.Options{Addr: s.Addr(), Protocol: 2, PipelinePoolSize: -1})
	defer plain.Close()
	for name, client := range map[string]goredis.Cmdable{"ours": c, "go-redis": plain} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := client.Get(b.Context(), "x").Err(); err != redis.Nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/pipeline of 64", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p := client.Pipeline()
				for range 64 {
					p.Get(b.Context(), "x")
				}
				if _, err := p.Exec(b.Context()); err != redis.Nil {
					b.Fatal(err)
				}
			}
		})
	}
}
