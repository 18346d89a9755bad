package train

// Settings of a configuration, to be read and changed in tests.

func (c Config) vae() *VAESettings         { return c.Settings.(*VAESettings) }
func (c Config) mixture() *MixtureSettings { return c.Settings.(*MixtureSettings) }
func (c Config) grid() *GridSettings       { return c.Settings.(*GridSettings) }
func (c Config) table() *TableSettings {
	return c.Settings.(interface{ table() *TableSettings }).table()
}
