package server

import (
	"reflect"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
)

// same reports whether options mean the same. Where in the file they stand, which
// some of them know for what they may have to say later, does not count: a line
// more at the top of the file is no reason to start a module anew.
func same[T any](a, b T) bool { return sameValue(reflect.ValueOf(a), reflect.ValueOf(b)) }

var nodeType = reflect.TypeFor[*config.Node]()

func sameValue(a, b reflect.Value) bool {
	if !a.IsValid() || !b.IsValid() {
		return a.IsValid() == b.IsValid()
	}
	if a.Type() != b.Type() {
		return false
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.Type() == nodeType {
			return true
		}
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return a.Kind() == reflect.Pointer && a.Pointer() == b.Pointer() || sameValue(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if !sameValue(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		return sameList(a, b)
	case reflect.Map:
		for it := a.MapRange(); it.Next(); {
			if !sameValue(it.Value(), b.MapIndex(it.Key())) {
				return false
			}
		}
		return a.Len() == b.Len()
	case reflect.Func:
		return a.IsNil() && b.IsNil() // as for reflect.DeepEqual
	}
	return a.Equal(b)
}

func sameList(a, b reflect.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	for i := range a.Len() {
		if !sameValue(a.Index(i), b.Index(i)) {
			return false
		}
	}
	return true
}

// backendOf is what a module's options say about its database and its cache.
func backendOf(options any) (b modules.Backend, ok bool) {
	v := reflect.ValueOf(options)
	for i := 0; v.Kind() == reflect.Struct && i < v.NumField(); i++ {
		if f := v.Field(i); f.Type() == reflect.TypeFor[modules.Backend]() {
			return modules.Backend{DBType: f.FieldByName("DBType").String()}, true
		}
	}
	return b, false
}
