package storagetest

import (
	"os"
	"testing"
	"time"
	"runtime"
)

func TestX(t *testing.T) {
	url(t)
	p, _ := private()
	for i := range 20 {
		runtime.GC()
		time.Sleep(100 * time.Millisecond)
		_, err := os.Stat(p.dir)
		t.Log(i, err)
		if err != nil { break }
	}
	b, _ := os.ReadFile(p.dir+"/log")
	t.Log(string(b))
}
