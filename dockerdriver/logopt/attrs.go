package logopt

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"strings"
)

// chosen are the labels and environment variables that the container's log-opts ask
// for, as json-file reads them: names are taken as they stand between the commas, and
// one that the container does not have is no error.
func chosen(info *Info) (labels, env map[string]string, err error) {
	variables := make(map[string]string, len(info.ContainerEnv))
	for _, e := range info.ContainerEnv {
		if name, value, ok := strings.Cut(e, "="); ok {
			variables[name] = value
		}
	}
	if labels, err = pick(info.ContainerLabels, info.Config, "labels"); err != nil {
		return nil, nil, err
	}
	env, err = pick(variables, info.Config, "env")
	return labels, env, err
}

func pick(from, logOpts map[string]string, what string) (map[string]string, error) {
	picked := make(map[string]string)
	if names := logOpts[what]; names != "" {
		for name := range strings.SplitSeq(names, ",") {
			if value, ok := from[name]; ok {
				picked[name] = value
			}
		}
	}
	if expr := logOpts[what+"-regex"]; expr != "" {
		re, err := regexp.Compile(expr)
		if err != nil {
			if se := (*syntax.Error)(nil); errors.As(err, &se) { // its text may have more than one line
				err = errors.New(se.Code.String())
			}
			return nil, fmt.Errorf("set %s-regex: read regular expression %q: %w", what, expr, err)
		}
		for name, value := range from {
			if re.MatchString(name) {
				picked[name] = value
			}
		}
	}
	return picked, nil
}

// attrs are the attributes of each json record, as in json-file: a variable counts
// before a label of the same name, and the tag before both.
func attrs(labels, env map[string]string, tag string) map[string]string {
	m := maps.Clone(labels)
	maps.Copy(m, env)
	if tag != "" {
		m["tag"] = tag
	}
	return m
}
