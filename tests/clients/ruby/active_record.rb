# Active Record: migrations up and down, with its advisory lock; models, transactions, upserts.
require "active_record"

ME = ENV.fetch("POSTGRES_USER")
ActiveRecord::Base.establish_connection(ENV.fetch("POSTGRES_URL"))
ActiveRecord::Migration.verbose = false

class First < ActiveRecord::Migration[6.1]
  def change
    enable_extension "pgcrypto"
    create_table :authors, id: :uuid do |t|
      t.string :name, null: false, index: { unique: true }
      t.timestamps
    end
    create_table :books do |t|
      t.references :author, type: :uuid, foreign_key: true
      t.jsonb :data, default: {}
    end
  end
end

class Author < ActiveRecord::Base
  has_many :books, dependent: :destroy
end

class Book < ActiveRecord::Base
  belongs_to :author
end

def migrate(direction)
  steps = [First.new("First", 1)]
  ActiveRecord::Migrator.new(direction, steps, ActiveRecord::SchemaMigration).migrate
end

migrate(:up)
Author.transaction { Author.create!(name: ME).books.create!(data: { pages: 3 }) }
raise "not this app's" unless Book.includes(:author).first.author.name == ME
begin
  Author.transaction(requires_new: true) { Author.create!(name: ME) }
  raise "a name twice"
rescue ActiveRecord::RecordNotUnique
end
Author.upsert({ name: ME, created_at: Time.now, updated_at: Time.now }, unique_by: :name)
raise "two rows" unless Author.count == 1
Author.destroy_all
migrate(:down)
%w[schema_migrations ar_internal_metadata].each do |name|
  ActiveRecord::Base.connection.drop_table(name)
end
