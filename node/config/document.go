package config

import (
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"reflect"
	"strings"
	"sync"
)

// The sources whose comments are the documentation of the options.
//
//go:embed config.go janus.go media.go mesh.go geo.go dns.go registry.go events.go quality.go
var sources embed.FS

// comments maps "Janus" and "Janus.WSPort" to the comments of type and field, as one paragraph each.
var comments = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	entries, err := sources.ReadDir(".")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, e := range entries {
		src, err := sources.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), src, parser.ParseComments)
		if err != nil {
			panic(err)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				commentsOf(g, all)
			}
		}
	}
	return all
})

func commentsOf(g *ast.GenDecl, all map[string]string) {
	for _, s := range g.Specs {
		t := s.(*ast.TypeSpec)
		all[t.Name.Name] = paragraph(g.Doc, t.Name.Name)
		if st, ok := t.Type.(*ast.StructType); ok {
			for _, f := range st.Fields.List {
				all[t.Name.Name+"."+f.Names[0].Name] = paragraph(f.Doc, f.Names[0].Name)
			}
		}
	}
}

// paragraph joins a comment's lines and removes the Go name it begins with: readers of the help know the option's.
func paragraph(c *ast.CommentGroup, name string) string {
	s := strings.Join(strings.Fields(c.Text()), " ")
	for _, verb := range []string{" is ", " are "} {
		if rest, ok := strings.CutPrefix(s, name+verb); ok {
			s = rest
		}
	}
	s = strings.TrimPrefix(s, name+" ")
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// WriteHelp lists every option as a flag with its default and its documentation.
func WriteHelp(w io.Writer) error {
	p := printer{w: w}
	c := Default()
	section := ""
	for _, o := range options(&c) {
		if o.section != section {
			section = o.section
			owner, _, _ := strings.Cut(o.field, ".")
			p.printf("\n%s:\n", section)
			p.wrapped("  ", comments()[owner])
		}
		doc := comments()[o.field]
		name, k := "--"+o.flag(), kind(o.value.Type())
		switch {
		case isSecret(o.value.Type()):
			name, k = name+"-file", "FILE"
			doc += " The flag names a file that holds it" + map[bool]string{true: ", one a line."}[o.value.Type() == secretsType]
			doc = strings.TrimSuffix(doc, ".") + "."
		case k == "BOOL":
			name, k = name+"="+fmt.Sprint(!o.value.Bool()), ""
		}
		p.printf("  %s\n", strings.TrimSpace(name+" "+k))
		if value := text(o.value); value != "" && value != "[]" {
			doc += " Default: " + value + "."
		}
		p.wrapped("        ", doc)
	}
	return p.err
}

// WriteSample writes the sample file: every option with its documentation, commented out at its default.
func WriteSample(w io.Writer) error {
	p := printer{w: w}
	p.printf("# Every option of a Cardea node, at its default. An option said here may be said by the environment too\n" +
		"# (janus.ws_port: CARDEA_JANUS_WS_PORT) and by a flag (--janus-ws-port), which win in this order. Secrets may\n" +
		"# stand in a file of their own: api_secret_file names the file that holds api_secret.\n")
	c := Default()
	section, indent := "", ""
	for _, o := range options(&c) {
		if o.section != section {
			section = o.section
			owner, _, _ := strings.Cut(o.field, ".")
			depth := strings.Count(section, ".")
			name := section[strings.LastIndex(section, ".")+1:]
			if indent = strings.Repeat("  ", depth); depth == 0 {
				p.printf("\n")
			}
			p.wrapped(indent+"# ", comments()[owner])
			p.printf("%s%s:\n", indent, name)
		}
		p.wrapped(indent+"  # ", comments()[o.field])
		p.printf("%s  #%s: %s\n", indent, o.key, sampleValue(o.value))
		switch o.value.Interface().(type) {
		case []Room:
			r := DefaultRoom()
			p.element("a room", reflect.ValueOf(&r).Elem())
		case []RegistryEntry:
			p.element("an entry", reflect.ValueOf(&RegistryEntry{}).Elem())
		}
	}
	return p.err
}

func sampleValue(v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		return text(v)
	}
	return quoted(text(v))
}

// element describes the options of a list's elements, of which no file needs all.
func (p *printer) element(what string, v reflect.Value) {
	p.printf("  # Options of %s:\n", what)
	for key, f := range fields(v) {
		p.printf("  #   %s: %s\n", key, sampleValue(f.value))
		p.wrapped("  #       ", comments()[v.Type().Name()+"."+f.name])
	}
}

// printer remembers the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// wrapped prints a paragraph in lines of at most 100 characters, each after the indentation.
func (p *printer) wrapped(indent, paragraph string) {
	const width = 100
	line := indent
	for word := range strings.FieldsSeq(paragraph) {
		if len(line)+len(word) > width && line != indent {
			p.printf("%s\n", strings.TrimRight(line, " "))
			line = indent
		}
		line += word + " "
	}
	if line != indent {
		p.printf("%s\n", strings.TrimRight(line, " "))
	}
}
