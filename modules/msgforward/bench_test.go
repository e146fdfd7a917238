package msgforward

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// BenchmarkDeliver is how fast a queue that is full is delivered to a web server on
// this machine, one message in a request and fifty.
func BenchmarkDeliver(b *testing.B) {
	for _, v := range storagetest.Variants() {
		for _, batch := range []int{1, 50} {
			b.Run(fmt.Sprintf("%s/%d", v.Name, batch), func(b *testing.B) {
				db := v.Open(b)
				makeTables(b, db)
				var asked atomic.Int64
				web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
				defer web.Close()
				d := newDestination(web.URL)
				d.Batch = batch
				var list []sm.Storage
				for i := range b.N {
					list = append(list, chat(int64(i+1), i%500))
				}
				for len(list) > 0 {
					n := min(len(list), 1<<14)
					keep(b, db, d, list[:n]...)
					list = list[n:]
				}
				b.ResetTimer()
				w, stop := startWorker(b, db, d, nil)
				await(b, "all is delivered", func() bool { return w.count.Figures().Delivered >= int64(b.N) })
				b.StopTimer()
				stop()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
				b.ReportMetric(float64(b.N)/float64(max(asked.Load(), 1)), "messages/request")
			})
		}
	}
}
