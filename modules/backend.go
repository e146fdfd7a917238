package modules

import (
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/storage"
)

// A Backend is the options that every module with a database has. Embed it in
// the module's options and call its Fields.
type Backend struct {
	DBType string // mnesia, sql, or empty: value of default_db
	Cache  local.Cache

	given struct{ use, size, missed, life bool }
}

// Fields declares the options.
func (b *Backend) Fields(f *config.Fields) {
	b.DBField(f)
	b.CacheFields(f)
}

// DBField declares only where the data is, for modules without a cache.
func (b *Backend) DBField(f *config.Fields) {
	f.Enum(&b.DBType, "db_type", "", "Where the module keeps its data: `mnesia` is the embedded database.", "mnesia", "sql").DefaultText("value of default_db")
}

// CacheFields declares only the options of the cache, for modules that read
// what others store.
func (b *Backend) CacheFields(f *config.Fields) {
	f.Bool(&b.Cache.Use, "use_cache", true, "Keep what was read in memory.").Given(&b.given.use).DefaultText("value of use_cache")
	f.IntOrInfinity(&b.Cache.Size, "cache_size", 1000, "How many entries the cache holds.").Must(config.AtLeast(1)).Given(&b.given.size).DefaultText("value of cache_size")
	f.Bool(&b.Cache.Missed, "cache_missed", true, "Also remember what was not found.").Given(&b.given.missed).DefaultText("value of cache_missed")
	f.Duration(&b.Cache.LifeTime, "cache_life_time", time.Hour, "How long an entry is kept.").OrInfinity().Given(&b.given.life).DefaultText("value of cache_life_time")
}

// Where is the db_type, empty for the value of default_db.
func (b Backend) Where() string { return b.DBType }

// Database opens the database that the options ask for and makes the module's
// tables. module is ejabberd's name for their keeper: "mod_last_sql".
func (h *Host) Database(b Backend, module string, versions ...storage.Version) (*storage.DB, error) {
	db, err := h.DB(h.ctx, b.DBType)
	if err != nil {
		return nil, err
	}
	return db, db.Migrate(h.ctx, module, versions...)
}

// CacheOf is the cache options of b, completed by those of the virtual host.
func (h *Host) CacheOf(b Backend) local.Cache {
	c := h.DefaultCache
	if b.given.use {
		c.Use = b.Cache.Use
	}
	if b.given.size {
		c.Size = b.Cache.Size
	}
	if b.given.missed {
		c.Missed = b.Cache.Missed
	}
	if b.given.life {
		c.LifeTime = b.Cache.LifeTime
	}
	return c
}
